//! See `clickwire_server::fuzzing::sign_in`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clickwire_server::fuzzing::sign_in(bytes));
