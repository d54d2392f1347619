//! Bytes taken out of the buffer, being written: where writing stands within frames and the
//! shared slices between them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::buffers;

/// So many slices go into one vectored write.
const SLICES: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct InFlight {
    frames: Vec<u8>,
    /// What of `frames` was written.
    written: usize,
    /// Slices still to be written, each before the byte of `frames` at its offset.
    shared: VecDeque<(usize, Bytes)>,
    len: usize,
}

/// How far a write came.
pub(super) enum Written {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Part,
    /// The socket is gone.
    Failed,
}

impl InFlight {
    pub(super) fn new(frames: Vec<u8>, shared: VecDeque<(usize, Bytes)>) -> Self {
        let len = frames.len() + shared.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        Self {
            frames,
            written: 0,
            shared,
            len,
        }
    }

    /// Bytes left to write.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes until nothing is left or the socket takes no more.
    pub(super) fn write(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Written {
        while self.len > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.slices(&mut slices);
            match write(slices.get(..count).unwrap_or_default()) {
                Ok(0) => return Written::Failed,
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Part,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        Written::All
    }

    /// What comes next, in order.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut count = 0;
        let mut push = |bytes: &'a [u8]| match slices.get_mut(count) {
            Some(slice) if !bytes.is_empty() => {
                *slice = IoSlice::new(bytes);
                count += 1;
                true
            }
            Some(_) => true,
            None => false,
        };
        let mut from = self.written;
        for (offset, bytes) in &self.shared {
            if !push(self.frames.get(from..*offset).unwrap_or_default()) || !push(bytes) {
                return count;
            }
            from = *offset;
        }
        push(self.frames.get(from..).unwrap_or_default());
        count
    }

    /// So many bytes were written.
    fn advance(&mut self, mut written: usize) {
        self.len = self.len.saturating_sub(written);
        while let Some((offset, bytes)) = self.shared.front_mut() {
            let frames = *offset - self.written;
            if written < frames {
                break;
            }
            written -= frames;
            self.written = *offset;
            if written < bytes.len() {
                bytes.advance(written);
                return;
            }
            written -= bytes.len();
            self.shared.pop_front();
        }
        self.written += written;
    }

    /// The socket stalled: keep no more than what is left.
    pub(super) fn shrink(&mut self) {
        let left = self.frames.len() - self.written;
        if left < self.frames.capacity() / 2 {
            let rest = self.frames.get(self.written..).unwrap_or_default().to_vec();
            buffers::give(std::mem::replace(&mut self.frames, rest));
            let written = std::mem::take(&mut self.written);
            self.shared
                .iter_mut()
                .for_each(|(offset, _)| *offset -= written);
        }
    }

    /// Keeps the buffer for the next one who needs it.
    pub(super) fn recycle(self) {
        buffers::give(self.frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> (InFlight, Vec<u8>) {
        let shared = [(0, "AB"), (2, "CDE"), (2, "F"), (5, "GH")];
        let shared = shared.map(|(offset, text)| (offset, Bytes::from(text)));
        (
            InFlight::new(b"abcde".to_vec(), shared.into()),
            b"ABabCDEFcdeGH".to_vec(),
        )
    }

    #[test]
    fn shared_slices_are_spliced_in_however_little_is_written_at_a_time() {
        for step in 1..14 {
            for shrink in [false, true] {
                let (mut batch, expected) = batch();
                let mut out = Vec::new();
                while batch.len() > 0 {
                    let mut once = true;
                    batch.write(&mut |slices| {
                        if !std::mem::replace(&mut once, false) {
                            return Err(io::ErrorKind::WouldBlock.into());
                        }
                        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                        let taken = step.min(all.len());
                        out.extend_from_slice(&all[..taken]);
                        Ok(taken)
                    });
                    if shrink {
                        batch.shrink();
                    }
                    assert_eq!(out.len() + batch.len(), expected.len());
                }
                assert_eq!(out, expected, "{step} bytes at a time");
            }
        }
    }

    #[test]
    fn more_slices_than_one_write_takes_are_written_in_several() {
        let shared: VecDeque<_> = (0..200).map(|i| (i, Bytes::from("x"))).collect();
        let mut batch = InFlight::new(vec![b'.'; 200], shared);
        let mut out = Vec::new();
        let written = batch.write(&mut |slices| {
            slices.iter().for_each(|slice| out.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        assert!(matches!(written, Written::All));
        assert_eq!(out, b"x.".repeat(200));
    }
}
