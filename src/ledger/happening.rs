//! What a commit caused that somebody outside should hear of. Written in that commit, told later by any
//! worker: a crash loses none.

use crate::domain::KeySource;
use crate::domain::ProviderName;
use crate::domain::Run;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::JobKey;

/// Who stopped a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopper {
    /// The wallet ran dry.
    Wallet,
    /// Somebody, by command.
    Command,
}

impl Stopper {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Command => "command",
        }
    }

    /// Reads what [`Stopper::as_str`] wrote; what says nothing was stopped by its wallet, as all were once.
    pub fn parse(text: Option<&str>) -> Self {
        if text == Some(Self::Command.as_str()) { Self::Command } else { Self::Wallet }
    }
}

/// Something that happened, once per crossing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A settlement took the balance below the threshold.
    WalletLow {
        /// Whose wallet.
        workspace: WorkspaceId,
        /// What is left in it.
        balance: Usd,
        /// What it fell below.
        threshold: Usd,
    },
    /// The first step since the last top-up that the balance could not pay.
    WalletEmpty {
        /// Whose wallet.
        workspace: WorkspaceId,
        /// What is left in it: less than the step.
        balance: Usd,
        /// Below what a balance is called low.
        threshold: Usd,
    },
    /// A campaign was stopped.
    CampaignDeactivated {
        /// Whose.
        workspace: WorkspaceId,
        /// Which.
        campaign: String,
        /// By whom.
        by: Stopper,
    },
    /// A campaign was activated, as somebody asked.
    CampaignActivated {
        /// Whose.
        workspace: WorkspaceId,
        /// Which.
        campaign: String,
    },
    /// A campaign was not activated, as somebody asked, because the wallet cannot pay.
    CampaignRefused {
        /// Whose.
        workspace: WorkspaceId,
        /// Which.
        campaign: String,
    },
    /// A wallet asks for money.
    RechargeRequested {
        /// Whose.
        workspace: WorkspaceId,
        /// How much.
        amount: Usd,
        /// Under what it is answered.
        reference: String,
    },
    /// Money was asked for in vain too often: it is not asked for any more.
    RechargeFailed {
        /// Whose.
        workspace: WorkspaceId,
        /// How much.
        amount: Usd,
        /// The last request's.
        reference: String,
    },
    /// A key does not work any more, or an own key's account is empty.
    KeyRejected {
        /// Whose key; `None` for the house's.
        workspace: Option<WorkspaceId>,
        /// At which provider.
        provider: ProviderName,
        /// Own or house.
        key_source: KeySource,
    },
    /// The house's account at a provider is empty.
    ProviderOutOfCredits {
        /// At which provider.
        provider: ProviderName,
    },
    /// Every lead of a job has ended, and its result is out.
    JobCompleted {
        /// Whose.
        workspace: WorkspaceId,
        /// Which.
        job: JobKey,
        /// Again after each resume.
        run: Run,
    },
}

impl Happening {
    /// Those this program knows. A newer one may have stored others.
    pub const KINDS: &[&str] = &[
        "weir.wallet_low.v1",
        "weir.wallet_empty.v1",
        "weir.campaign_deactivated.v1",
        "weir.campaign_activated.v1",
        "weir.campaign_refused.v1",
        "weir.recharge_requested.v1",
        "weir.recharge_failed.v1",
        "weir.key_rejected.v1",
        "weir.provider_out_of_credits.v1",
        "weir.job_completed.v1",
    ];

    /// The AMQP type of its message.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WalletLow { .. } => "weir.wallet_low.v1",
            Self::WalletEmpty { .. } => "weir.wallet_empty.v1",
            Self::CampaignDeactivated { .. } => "weir.campaign_deactivated.v1",
            Self::CampaignActivated { .. } => "weir.campaign_activated.v1",
            Self::CampaignRefused { .. } => "weir.campaign_refused.v1",
            Self::RechargeRequested { .. } => "weir.recharge_requested.v1",
            Self::RechargeFailed { .. } => "weir.recharge_failed.v1",
            Self::KeyRejected { .. } => "weir.key_rejected.v1",
            Self::ProviderOutOfCredits { .. } => "weir.provider_out_of_credits.v1",
            Self::JobCompleted { .. } => "weir.job_completed.v1",
        }
    }
}

/// A happening that waits to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHappening {
    /// Counts them, in the order of their commits.
    pub seq: i64,
    /// Unique, and the same whenever it is told again.
    pub key: String,
    /// When, wall-clock milliseconds.
    pub at_ms: i64,
    /// What.
    pub what: Happening,
}
