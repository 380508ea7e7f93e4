//! The schema of every message of CONTRACTS §4, made from the type that reads or writes it.

use crate::messages::events::Message;
use crate::messages::incoming::CampaignActivate;
use crate::messages::incoming::ConfigReload;
use crate::messages::incoming::CopyJob;
use crate::messages::incoming::EnrichmentJob;
use crate::messages::incoming::JobControl;
use crate::messages::incoming::TopUp;
use crate::messages::notices::CampaignActivated;
use crate::messages::notices::CampaignDeactivated;
use crate::messages::notices::CampaignRefused;
use crate::messages::notices::ConfigApplied;
use crate::messages::notices::ConfigRejected;
use crate::messages::notices::KeyRejected;
use crate::messages::notices::ProviderOutOfCredits;
use crate::messages::notices::RechargeFailed;
use crate::messages::notices::RechargeRequested;
use crate::messages::notices::WalletEmpty;
use crate::messages::notices::WalletLow;
use crate::messages::results::CopyResult;
use crate::messages::results::JobCompleted;
use crate::messages::results::LeadResult;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value;

/// Message type to its JSON Schema, draft 2020-12, each complete in itself. Limits of texts are in
/// bytes, and a schema counts characters: it lets through a little that is refused.
pub fn schemas() -> Map<String, Value> {
    all(SchemaSettings::draft2020_12())
}

/// The same as AsyncAPI takes them by default: draft 7, and no word of the draft in each.
pub(super) fn payloads() -> Map<String, Value> {
    all(SchemaSettings::draft07().with(|settings| settings.meta_schema = None))
}

fn all(form: SchemaSettings) -> Map<String, Value> {
    let read = form.with(|settings| settings.inline_subschemas = true);
    let written = read.clone().for_serialize();
    Map::from_iter([
        schema_of::<EnrichmentJob>(&read),
        schema_of::<CopyJob>(&read),
        schema_of::<JobControl>(&read),
        schema_of::<TopUp>(&read),
        schema_of::<CampaignActivate>(&read),
        schema_of::<ConfigReload>(&read),
        schema_of::<LeadResult>(&written),
        schema_of::<CopyResult>(&written),
        schema_of::<JobCompleted>(&written),
        schema_of::<WalletLow>(&written),
        schema_of::<WalletEmpty>(&written),
        schema_of::<RechargeRequested>(&written),
        schema_of::<RechargeFailed>(&written),
        schema_of::<CampaignDeactivated>(&written),
        schema_of::<CampaignActivated>(&written),
        schema_of::<CampaignRefused>(&written),
        schema_of::<KeyRejected>(&written),
        schema_of::<ProviderOutOfCredits>(&written),
        schema_of::<ConfigApplied>(&written),
        schema_of::<ConfigRejected>(&written),
    ])
}

fn schema_of<M: Message + JsonSchema>(settings: &SchemaSettings) -> (String, Value) {
    let mut schema = settings.clone().into_generator().into_root_schema_for::<M>();
    schema.insert("title".to_owned(), M::KIND.into());
    (M::KIND.to_owned(), schema.to_value())
}
