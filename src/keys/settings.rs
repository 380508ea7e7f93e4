//! What a workspace has settled for itself: its plan, and what follows when a key or its money fails.

use crate::domain::Usd;
use crate::ledger::RechargeChange;
use crate::ledger::RechargeTerms;
use crate::ledger::TermsRefused;
use std::fmt;
use std::str::FromStr;

/// Whose keys a workspace's enrichment runs on (DESIGN §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkspacePlan {
    /// The house's, paid from the metered balance. Every plan but the other one.
    Metered,
    /// Its own where it has one, free of charge.
    Unlimited,
}

impl WorkspacePlan {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Unlimited => "unlimited",
        }
    }
}

impl fmt::Display for WorkspacePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WorkspacePlan {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "metered" => Ok(Self::Metered),
            "unlimited" => Ok(Self::Unlimited),
            _ => Err(()),
        }
    }
}

/// What an own key that fails (rejected, out of credits) gives way to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OwnKeyFallback {
    /// Nothing: nobody is charged by surprise.
    Never,
    /// The house's key, charged: the workspace has said so.
    House,
}

impl OwnKeyFallback {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::House => "house",
        }
    }
}

impl fmt::Display for OwnKeyFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OwnKeyFallback {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "never" => Ok(Self::Never),
            "house" => Ok(Self::House),
            _ => Err(()),
        }
    }
}

/// Everything a workspace has settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkspaceSettings {
    /// Whose keys its enrichment runs on.
    pub plan: WorkspacePlan,
    /// What an own key that fails gives way to.
    pub own_key_fallback: OwnKeyFallback,
    /// A balance that falls below this is announced; `None`: the configuration's `wallet.low_balance`.
    pub low_balance: Option<Usd>,
    /// `None`: money is never asked for.
    pub recharge: Option<RechargeTerms>,
}

impl WorkspaceSettings {
    /// What a workspace has that was never spoken of: metered, no fallback, nothing of its own.
    pub const fn new() -> Self {
        Self {
            plan: WorkspacePlan::Metered,
            own_key_fallback: OwnKeyFallback::Never,
            low_balance: None,
            recharge: None,
        }
    }
}

impl Default for WorkspaceSettings {
    fn default() -> Self {
        Self::new()
    }
}

/// What of a workspace's settings is to change; `None` stays as it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct WorkspaceChange {
    /// Whose keys its enrichment runs on.
    pub plan: Option<WorkspacePlan>,
    /// What an own key that fails gives way to.
    pub own_key_fallback: Option<OwnKeyFallback>,
    /// A balance that falls below this is announced.
    pub low_balance: Option<Usd>,
    /// When money is asked for. Any change of it, to the same terms too, forgets earlier declines.
    pub recharge: Option<RechargeChange>,
}

impl WorkspaceChange {
    /// The settings after it.
    ///
    /// # Errors
    /// When the terms of recharge would not be whole, or could never ask.
    pub fn apply(&self, settings: WorkspaceSettings) -> Result<WorkspaceSettings, TermsRefused> {
        let recharge = match self.recharge {
            Some(change) => change.apply(settings.recharge)?,
            None => settings.recharge,
        };
        Ok(WorkspaceSettings {
            plan: self.plan.unwrap_or(settings.plan),
            own_key_fallback: self.own_key_fallback.unwrap_or(settings.own_key_fallback),
            low_balance: self.low_balance.or(settings.low_balance),
            recharge,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for plan in [WorkspacePlan::Metered, WorkspacePlan::Unlimited] {
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
        for fallback in [OwnKeyFallback::Never, OwnKeyFallback::House] {
            assert_eq!(fallback.to_string().parse(), Ok(fallback));
        }
        assert_eq!("Metered".parse::<WorkspacePlan>(), Err(()));
        assert_eq!("own".parse::<OwnKeyFallback>(), Err(()));
    }
}
