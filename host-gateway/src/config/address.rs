//! Addresses: where the gateway listens, and where a cluster's endpoints are.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

use serde::Deserialize;

/// `ip:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is no address to listen on: write ip:port, such as 127.0.0.1:8081 or [::1]:8081")
        })
    }
}

/// `host:port`, where the host is an IP address or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct EndpointAddress {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl EndpointAddress {
    /// The address when the host is an IP address, not a name.
    pub fn ip(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Looks the name up. Blocks: only for use at start.
    pub fn resolve(&self) -> std::io::Result<SocketAddr> {
        match self.ip() {
            Some(address) => Ok(address),
            None => (self.host.as_str(), self.port)
                .to_socket_addrs()?
                .next()
                .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address")),
        }
    }
}

impl TryFrom<String> for EndpointAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no endpoint: write host:port, such as 127.0.0.1:8088 or orders:8080");
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: address.ip().to_string(),
                port: address.port(),
            });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(name) || host.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(wrong());
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
