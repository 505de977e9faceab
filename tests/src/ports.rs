//! Free ports on loopback, for this program alone until it ends.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

use crate::build::cache_dir;

/// Below the range from which kernels take the ports of outgoing connections (32768 and up on Linux).
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The locks of the ports that this program was given.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port on loopback on which nobody listens.
///
/// It stays this program's until it ends, also while nobody listens on it (a component that is being restarted): a locked
/// file keeps other testbeds from taking it.
pub fn free_port() -> Result<u16> {
    let folder = cache_dir()?.join("ports");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let start = (RandomState::new().hash_one(0) % u64::from(COUNT)) as u16;
    for port in (0..COUNT).map(|step| FIRST + (start + step) % COUNT) {
        let lock = File::create(folder.join(port.to_string()))?;
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            RESERVED.lock().push(lock);
            return Ok(port);
        }
    }
    bail!("no port between {FIRST} and {} is free", FIRST + COUNT - 1)
}
