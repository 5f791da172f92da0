//! Randomness from the kernel: passwords, and names that nobody else has.

use std::fs::File;
use std::io::Read;

use crate::Error;

/// 128 random bits in hexadecimal: safe in a URL, a shell and a file name.
pub fn secret() -> Result<String, Error> {
    Ok(format!("{:032x}", u128::from_be_bytes(bytes()?)))
}

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(Error::io(|| "cannot read /dev/urandom".to_owned()))?;
    Ok(bytes)
}
