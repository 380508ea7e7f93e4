//! `[waterfalls.*]`: which providers, in which order.

use crate::config::mistakes::did_you_mean;
use crate::config::provider::ProviderSettings;
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::waterfall::Risky;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// One waterfall's table. Its providers exist, can do their step, and come once in each list.
#[derive(Debug, Clone)]
pub struct Waterfall {
    /// The table's name.
    pub name: WaterfallName,
    /// Finders, in order.
    pub find: Vec<ProviderName>,
    /// Verifiers, in order; not empty when `find` is.
    pub verify: Vec<ProviderName>,
    /// What becomes of an address that is neither valid nor invalid.
    pub risky: Risky,
    /// A finder's own word counts as the verification.
    pub trust_finders: bool,
    /// The cap of one lead; `None`: the job's cap and the wallet alone.
    pub max_spend_per_lead: Option<Usd>,
}

type Providers = BTreeMap<ProviderName, ProviderSettings>;

impl Waterfall {
    pub(super) fn read(name: &str, reader: &mut Reader<'_>, providers: &Providers) -> Self {
        let mut table = reader.table(&["waterfalls", name]);
        table.check_name();
        let find = steps(&mut table, "find", Operation::FindEmail, providers);
        let verify = steps(&mut table, "verify", Operation::VerifyEmail, providers);
        if find.is_empty() && verify.is_empty() {
            table.mistake("find", "names no provider, and neither does verify");
        }
        Self {
            name: WaterfallName::new(name),
            find,
            verify,
            risky: table.or("risky", Risky::KeepLooking),
            trust_finders: table.or("trust_finders", false),
            max_spend_per_lead: table.maybe("max_spend_per_lead", None),
        }
    }
}

fn steps(table: &mut Section<'_, '_>, key: &str, operation: Operation, providers: &Providers) -> Vec<ProviderName> {
    let names: Vec<String> = table.or(key, Vec::new());
    let steps: Vec<ProviderName> = names.into_iter().map(ProviderName::new).collect();
    let mut seen = BTreeSet::new();
    for name in &steps {
        if !seen.insert(name) {
            table.mistake(key, format!("names `{name}` twice"));
        }
        match providers.get(name) {
            Some(provider) if provider.can(operation) => {}
            Some(_) => table.mistake(key, format!("`{name}` cannot do {}", operation.as_str())),
            None => {
                let near = did_you_mean(name.as_str(), providers.keys().map(ProviderName::as_str));
                table.mistake(key, format!("there is no table [providers.{name}]{near}"));
            }
        }
    }
    steps
}
