use std::process::ExitCode;

use clap::Parser;

/// A call costs some hundred small allocations, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = postern_auth::cli::Arguments::parse();
    match postern_auth::cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain on one line: people grep for it, and supervisors show the last line.
            eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
