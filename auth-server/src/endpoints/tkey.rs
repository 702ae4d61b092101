//! The endpoints of profile `tkey`.

pub mod authorize;
pub mod introspect;
pub mod logout;
pub mod token;
pub mod userinfo;
