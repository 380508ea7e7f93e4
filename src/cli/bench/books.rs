//! Does the money add up?

use crate::cli::bench::load::FUNDED;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Ledger;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;

/// From wallets that were funded alike, exactly `cost` nano-dollars have gone; nothing is held any
/// more, and the audit finds nothing.
pub(super) async fn check_books(ledger: &dyn Ledger, workspaces: &[WorkspaceId], cost: i64) -> Result<()> {
    let mut gone = 0;
    for workspace in workspaces {
        let wallet = ledger.balance(workspace).await?.context("a wallet is gone")?;
        ensure!(wallet.held == Usd::ZERO, "{} USD are still held for {workspace}", wallet.held);
        gone += FUNDED - wallet.balance.nanos();
    }
    ensure!(gone == cost, "{gone} nano-dollars have left the wallets, {cost} were owed");
    let audit = ledger.audit(None).await?;
    ensure!(audit.open_holds == 0, "{} holds are still open", audit.open_holds);
    ensure!(audit.problems.is_empty(), "the audit found: {}", audit.problems.join("; "));
    Ok(())
}
