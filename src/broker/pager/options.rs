//! How much queues keep in memory, and how large what they write out is. What is here by default is
//! right for a broker; tests and simulations page with far less.

use std::time::Duration;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct PagingOptions {
    /// A queue keeps so much of its head in memory ...
    pub window_bytes: usize,
    /// ... or so much, while all queues together hold more than half of the memory limit ...
    pub narrow_window_bytes: usize,
    /// ... and pages out once it has so much more than that, so that it is worth it.
    pub past_window_bytes: usize,
    /// A chunk takes no more messages once it has so many bytes.
    pub chunk_bytes: usize,
    /// So many chunks from the head on are in memory, or on their way into it, while anybody reads.
    pub ahead_chunks: usize,
    /// What more chunks lie before will not be read soon: the system's cache need not have it.
    pub near_chunks: usize,
    /// An idle queue that holds less than this need not page out.
    pub idle_queue_bytes: usize,
    /// A segment is closed once it has so many bytes ...
    pub segment_bytes: u64,
    /// ... or took nothing for so long.
    pub segment_idle: Duration,
    /// A segment is rewritten when less than one part in so many of its bytes is still needed ...
    pub sparse_share: u64,
    /// ... unless it has less than so many bytes.
    pub sparse_bytes: u64,
    /// So many bytes a second may be read and written for that.
    pub rewritten_per_second: u64,
    /// The log may have so many files that are in use.
    pub most_log_files: usize,
    /// A log to which nothing was appended for so long is brought to rest.
    pub log_idle: Duration,
    /// When a file of the log is to be freed, a queue with no more than this in it has that put at
    /// the end of the log again.
    pub few_bytes: usize,
    /// Nothing is written while less than this is free on the disk.
    pub reserve_bytes: u64,
    /// After a failed write nothing is written for so long.
    pub retry: Duration,
    /// What could not be read is read again after so long.
    pub read_retry: Duration,
}

impl Default for PagingOptions {
    fn default() -> Self {
        Self {
            window_bytes: 6 << 20,
            narrow_window_bytes: 1 << 20,
            past_window_bytes: 2 << 20,
            chunk_bytes: 1 << 20,
            ahead_chunks: 3,
            near_chunks: 64,
            idle_queue_bytes: 64 << 10,
            segment_bytes: 32 << 20,
            segment_idle: Duration::from_secs(1),
            sparse_share: 8,
            sparse_bytes: 1 << 20,
            rewritten_per_second: 32 << 20,
            most_log_files: 4,
            log_idle: Duration::from_secs(5),
            few_bytes: 64 << 10,
            reserve_bytes: 0,
            retry: Duration::from_secs(1),
            read_retry: Duration::from_millis(100),
        }
    }
}
