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
}

/// Asks for money: answered by a top-up with the same `ref`, declined or not.
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

/// The money that was asked for does not come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct RechargeFailed {
    /// Tells a repeat.
    pub event_id: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Whose wallet.
    pub workspace_id: WorkspaceId,
    /// USD that were asked for.
    pub amount: Usd,
    /// What the request named.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// A campaign was stopped.
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
    pub reason: Reason,
}

/// A campaign may begin, or go on.
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

/// A campaign may not begin.
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
