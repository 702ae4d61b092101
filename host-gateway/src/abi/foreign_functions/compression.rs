//! `compress` and `uncompress`: the zlib format (RFC 1950), as in Envoy.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::abi::failure::Status;

/// zlib's default.
const LEVEL: u8 = 6;
/// Most bytes that become of some: a guest's memory is bounded.
const LARGEST: usize = 16 << 20;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(bytes, LEVEL)
}

pub(super) fn uncompress(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    decompress_to_vec_zlib_with_limit(bytes, LARGEST).map_err(|_| Status::SerializationFailure)
}
