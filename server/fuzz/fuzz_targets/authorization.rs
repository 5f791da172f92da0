//! See `clickwire_server::fuzzing::authorization`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clickwire_server::fuzzing::authorization(bytes));
