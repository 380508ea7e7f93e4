//! Wallets that have fallen below what their owners have set ask for money.

use crate::crew::teller::Episode;
use crate::worker::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks. Any worker's look is enough, and what it asks for is a happening: the relay tells it.
const EVERY: Duration = Duration::from_secs(1);

/// Asks, in a loop of its own: it may wait for wallets that are in use, and a heartbeat must not wait with it.
pub(super) struct Recharges {
    engine: Arc<Engine>,
    store_fails: Episode,
}

impl Recharges {
    /// For the wallets in the store of `engine`.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, store_fails: Episode::default() }
    }

    /// Until a stop.
    pub(super) async fn run(self) {
        loop {
            self.ask().await;
            tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => return,
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn ask(&self) {
        match self.engine.store.ask_recharges().await {
            Ok(wallets) => {
                if self.store_fails.ends() {
                    tracing::info!("wallets are looked at again");
                }
                if wallets > 0 {
                    tracing::info!(wallets, "money is asked for");
                }
            }
            Err(error) => {
                if self.store_fails.begins() {
                    tracing::warn!("wallets cannot be looked at, and ask for no money: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::intake::tests::engine;
    use crate::domain::Usd;
    use crate::domain::WorkspaceId;
    use crate::keys::WorkspaceSettings;
    use crate::ledger::Happening;
    use crate::ledger::RechargeTerms;

    #[tokio::test]
    async fn a_wallet_asks_once_until_it_is_answered() {
        let (engine, _folder) = engine();
        let (store, workspace) = (Arc::clone(&engine.store), WorkspaceId::new("acme"));
        let usd = |text: &str| text.parse::<Usd>().unwrap();
        let recharge = Some(RechargeTerms::usual(usd("10"), usd("25")));
        store.set_workspace(&workspace, WorkspaceSettings { recharge, ..WorkspaceSettings::new() }).await.unwrap();
        let recharges = Recharges::new(engine);
        for _ in 0..3 {
            recharges.ask().await;
        }
        let told = store.take_happenings(100, Duration::from_secs(60)).await.unwrap();
        let [happening] = &told[..] else { panic!("{told:?}") };
        let Happening::RechargeRequested { workspace: of, amount, reference } = &happening.what else {
            panic!("{happening:?}")
        };
        assert_eq!((of, *amount), (&workspace, usd("25")));
        assert_eq!(store.recharges(&workspace, 1).await.unwrap()[0].reference, *reference);
    }
}
