//! The integration tests, as one binary: they use the crate, and the built program, from outside.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod enrich;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod services;
#[cfg(test)]
mod shared_store;
#[cfg(test)]
mod store;
#[cfg(test)]
mod worker;
