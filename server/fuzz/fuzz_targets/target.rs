//! See `clickwire_server::fuzzing::target`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clickwire_server::fuzzing::target(bytes));
