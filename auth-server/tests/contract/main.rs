//! The wire contract of the auth server, row by row, against the real binary; one file per endpoint or subject.

mod check_token;
mod cli;
mod feed;
mod harness;
mod logout;
mod races;
mod token_failures;
mod token_password;
mod token_refresh;
