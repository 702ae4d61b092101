//! The same contract on PostgreSQL: the tests of `contract`, once more, with servers whose databases are there.

#[path = "../contract/main.rs"]
mod contract;

use contract::harness;
