//! Commands of the program beside serving: the first accounts and keys, before anybody can sign in.

pub mod accounts;
pub mod keys;
