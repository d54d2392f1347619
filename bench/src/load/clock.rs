//! One clock for publishers and consumers, which share a process.

use std::sync::OnceLock;
use std::time::Instant;

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the first call, never 0.
pub fn now_ns() -> u64 {
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// Lets this thread's sleeps end when asked instead of up to 50 µs later.
pub fn sleep_precisely() {
    // Where the kernel refuses, sleeps are merely less precise, which the latencies then show.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}
