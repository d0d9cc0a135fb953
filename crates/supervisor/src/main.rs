#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("daemonic-supervisor: the supervisor is not part of this version");
    ExitCode::FAILURE
}
