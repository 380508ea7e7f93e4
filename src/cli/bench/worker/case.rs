//! What a run is made of.

/// One job for each workspace, and who works them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Case {
    /// Of each job.
    pub(super) leads_each: u32,
    pub(super) workspaces: u32,
    /// Processes.
    pub(super) workers: u32,
    /// Milliseconds that a provider takes for a call.
    pub(super) latency_ms: u32,
    /// Leads at a time, in each process.
    pub(super) in_flight: u32,
}

impl Case {
    /// Of all jobs.
    pub(super) const fn leads(&self) -> u32 {
        self.leads_each * self.workspaces
    }

    /// What the providers of a lead take together, one after the other, in milliseconds.
    pub(super) const fn providers_ms(&self) -> u32 {
        2 * self.latency_ms
    }
}
