//! A disk during whose operations others work: whoever writes to it holds no lock that anybody needs,
//! so whatever may happen at the same time can be made to happen right there, in the same thread.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use warren::store::disk::{Disk, DiskFile, DiskLock, SimDisk};

type Others = Box<dyn FnMut()>;

thread_local! {
    static OTHERS: RefCell<Option<Others>> = const { RefCell::new(None) };
}

/// Does `work`, during whose disk operations `others` are called.
pub fn among<T>(others: impl FnMut() + 'static, work: impl FnOnce() -> T) -> T {
    OTHERS.with(|place| *place.borrow_mut() = Some(Box::new(others)));
    let done = work();
    OTHERS.with(|place| *place.borrow_mut() = None);
    done
}

fn let_others_work() {
    // What they do themselves is not interrupted.
    let others = OTHERS.with(|place| place.borrow_mut().take());
    if let Some(mut others) = others {
        others();
        OTHERS.with(|place| *place.borrow_mut() = Some(others));
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct BusyDisk(pub SimDisk);

#[derive(Debug)]
struct BusyFile(Arc<dyn DiskFile>);

impl Disk for BusyDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.0.list(path)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let_others_work();
        Ok(Arc::new(BusyFile(self.0.create(path)?)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let_others_work();
        Ok(Arc::new(BusyFile(self.0.open(path)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let_others_work();
        self.0.remove(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.try_lock(path)
    }
}

impl DiskFile for BusyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let_others_work();
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let_others_work();
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let_others_work();
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}
