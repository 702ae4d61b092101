//! The grants of the token endpoint, one file each. A grant decides for whom a token is made; `issue` makes it.

pub mod authorization_code;
pub mod client_credentials;
pub mod password;
pub mod refresh_token;
