//! The integration tests, as one binary: they use the crate, and the built program, from outside.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod sandbox;
