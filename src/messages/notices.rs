//! What the worker says of wallets, campaigns, keys and configurations. Published once each.

use crate::domain::CampaignId;
use crate::domain::ConfigVersion;
use crate::domain::KeySource;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Usd;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::messages::events::Message;
use crate::messages::nouns::lead_reason;
use schemars::JsonSchema;
use serde::Serialize;

/// A balance fell below its threshold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct WalletLow {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Whose wallet.
    pub workspace_id: WorkspaceId,
    /// USD that are left in it, held or not.
    pub balance: Usd,
    /// USD below which this is said.
    pub threshold: Usd,
    /// USD that it loses an hour, as it has of late; null when that is not known.
    pub burn_per_hour: Option<Usd>,
    /// When nothing is left in it, if that goes on; null when nothing is spent, or that is not known.
    #[schemars(extend("format" = "date-time"))]
    pub runs_dry_at: Option<String>,
}

/// A step could not be paid, for the first time since the last top-up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct WalletEmpty {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Whose wallet.
    pub workspace_id: WorkspaceId,
    /// USD that are left in it, held or not.
    pub balance: Usd,
    /// USD below which a wallet is low.
    pub threshold: Usd,
    /// USD that it loses an hour, as it has of late; null when that is not known.
    pub burn_per_hour: Option<Usd>,
    /// When nothing is left in it, if that goes on; null when nothing is spent, or that is not known.
    #[schemars(extend("format" = "date-time"))]
    pub runs_dry_at: Option<String>,
}

/// Asks for money: answered by a top-up with the same `ref`, declined or not. Asked again under that `ref`
/// while nobody answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct RechargeRequested {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Whose wallet.
    pub workspace_id: WorkspaceId,
    /// USD that are asked for.
    pub amount: Usd,
    /// What the top-up must name.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// Money was asked for in vain too often in a row: it is not asked for any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct RechargeFailed {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Whose wallet.
    pub workspace_id: WorkspaceId,
    /// USD that were asked for last.
    pub amount: Usd,
    /// What the last request named.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// A campaign was stopped: the wallet cannot pay (`wallet_empty`), or somebody has said so (`cancelled`). What runs on
/// the customer's own keys goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct CampaignDeactivated {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// Which of its campaigns.
    pub campaign_id: CampaignId,
    /// Why.
    #[schemars(schema_with = "lead_reason")]
    pub reason: Reason,
}

/// A campaign may begin, or goes on after a top-up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct CampaignActivated {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// Which of its campaigns.
    pub campaign_id: CampaignId,
}

/// A campaign may not begin: the wallet cannot pay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct CampaignRefused {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// Which of its campaigns.
    pub campaign_id: CampaignId,
    /// Why.
    #[schemars(schema_with = "lead_reason")]
    pub reason: Reason,
}

/// A key does not work: the provider does not accept it, or it is the customer's own and its account
/// is empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct KeyRejected {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Whose key; null for the house's.
    pub workspace_id: Option<WorkspaceId>,
    /// At which provider.
    pub provider: ProviderName,
    /// The customer's or the house's.
    pub key_source: KeySource,
}

/// The house's account at a provider is empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ProviderOutOfCredits {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Null: it is the house's.
    pub workspace_id: Option<WorkspaceId>,
    /// At which provider.
    pub provider: ProviderName,
    /// The house's.
    pub key_source: KeySource,
}

/// A worker has taken a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ConfigApplied {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Null: it is the house's.
    pub workspace_id: Option<WorkspaceId>,
    /// The request it answers.
    pub request_id: String,
    /// Which worker.
    pub worker_id: WorkerId,
    /// What is in force there now.
    pub config_version: ConfigVersion,
    /// None.
    pub errors: Vec<ConfigMistake>,
}

/// A worker has refused a configuration, whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ConfigRejected {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Null: it is the house's.
    pub workspace_id: Option<WorkspaceId>,
    /// The request it answers.
    pub request_id: String,
    /// Which worker.
    pub worker_id: WorkerId,
    /// What is still in force there.
    pub config_version: ConfigVersion,
    /// Every mistake.
    pub errors: Vec<ConfigMistake>,
}

/// A mistake in a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ConfigMistake {
    /// The key, `providers.leadmagic.credit_price`; empty when the text cannot be read.
    pub path: String,
    /// What is wrong, and what it must be instead.
    pub message: String,
}

impl Message for WalletLow {
    const KIND: &'static str = "weir.wallet_low.v1";
}

impl Message for WalletEmpty {
    const KIND: &'static str = "weir.wallet_empty.v1";
}

impl Message for RechargeRequested {
    const KIND: &'static str = "weir.recharge_requested.v1";
}

impl Message for RechargeFailed {
    const KIND: &'static str = "weir.recharge_failed.v1";
}

impl Message for CampaignDeactivated {
    const KIND: &'static str = "weir.campaign_deactivated.v1";
}

impl Message for CampaignActivated {
    const KIND: &'static str = "weir.campaign_activated.v1";
}

impl Message for CampaignRefused {
    const KIND: &'static str = "weir.campaign_refused.v1";
}

impl Message for KeyRejected {
    const KIND: &'static str = "weir.key_rejected.v1";
}

impl Message for ProviderOutOfCredits {
    const KIND: &'static str = "weir.provider_out_of_credits.v1";
}

impl Message for ConfigApplied {
    const KIND: &'static str = "weir.config_applied.v1";
}

impl Message for ConfigRejected {
    const KIND: &'static str = "weir.config_rejected.v1";
}
