//! `warren check-store`: verifies the data folder of a broker that is stopped, and says what is in
//! it and what is wrong with it. Changes nothing.
//!
//! In: flags and configuration, for the folder's name. Out: a report on standard output, and how
//! it went as the exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use warren::config::{CheckFlags, Sources};
use warren::store::check::check;
use warren::store::disk::RealDisk;
use warren::store::folder::FolderError;

/// Something stored is missing or not as it was written.
const PROBLEMS: u8 = 1;
/// Nothing can be said of the folder: there is none, it is in use, it is a newer program's.
const NOT_CHECKED: u8 = 2;

/// See the module.
pub fn run(flags: CheckFlags) -> ExitCode {
    let data_dir = match Sources::of_process(flags.into()).load() {
        Ok(config) => config.data_dir,
        Err(error) => return not_checked(&error.to_string()),
    };
    let folder = data_dir.display();
    let report = match open(&data_dir).and_then(|disk| check(Arc::new(disk))) {
        Ok(report) => report,
        Err(FolderError::NoFormat) => {
            say(&format!("{folder}\nPROBLEM: {}\n", FolderError::NoFormat));
            return ExitCode::from(PROBLEMS);
        }
        Err(error) => return not_checked(&format!("{folder}: {error}")),
    };
    if report.is_sound() {
        say(&format!("{folder}\n{report}sound\n"));
        ExitCode::SUCCESS
    } else {
        let count = report.problems.len();
        say(&format!("{folder}\n{report}not sound, problems: {count}\n"));
        ExitCode::from(PROBLEMS)
    }
}

/// A folder that is not there is not made.
fn open(data_dir: &Path) -> Result<RealDisk, FolderError> {
    if !data_dir.is_dir() {
        return Err(FolderError::Io(std::io::ErrorKind::NotFound.into()));
    }
    Ok(RealDisk::new(data_dir)?)
}

fn not_checked(why: &str) -> ExitCode {
    eprintln!("warren: not checked: {why}");
    ExitCode::from(NOT_CHECKED)
}

/// Whoever reads may have gone away; the exit code tells enough.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
