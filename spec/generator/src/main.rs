//! Writes the generated part of `src/amqp/` from `spec/`: `cargo run -p spec-generator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match spec_generator::write(&spec_generator::repository()) {
        Ok(count) => {
            println!("{count} files written");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
