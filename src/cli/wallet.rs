//! `weir wallet`: money in, corrections, what is there, and where it went.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::output;
use crate::clock::timestamp;
use crate::clock::wall_ms;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Audit;
use crate::ledger::Balance;
use crate::ledger::Booking;
use crate::ledger::Entry;
use crate::ledger::LedgerError;
use crate::ledger::Outlook;
use crate::ledger::RechargeState;
use crate::store::Store;
use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;
use serde_json::json;

/// Entries read, and printed, at a time.
const PAGE: u32 = 1_000;
/// Requests for money among which a top-up's reference is looked for.
const REQUESTS: u32 = 100;
/// In place of what nobody knows.
const UNKNOWN: &str = "-";

/// What `weir wallet` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Put money in, once by its reference; the store and the wallet are made where there are none
    Topup {
        #[command(flatten)]
        named: Named,
        /// How much, above zero
        #[arg(value_name = "USD", allow_negative_numbers = true, value_parser = arguments::positive_usd)]
        amount: Usd,
        /// Your own reference: the same one again books nothing
        #[arg(long = "ref", value_name = "REF", value_parser = arguments::reference)]
        reference: String,
    },
    /// Correct a balance, once by its reference; never below what open holds bind
    Adjust {
        #[command(flatten)]
        named: Named,
        /// How much is added, or with a minus taken away
        #[arg(value_name = "USD", allow_negative_numbers = true)]
        amount: Usd,
        /// Your own reference: the same one again books nothing
        #[arg(long = "ref", value_name = "REF", value_parser = arguments::reference)]
        reference: String,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        note: String,
    },
    /// Show what is in a wallet, what of it is held, how fast it is spent and when it would be empty
    Show(Named),
    /// List every change of a wallet, oldest first
    Ledger(Named),
    /// Recompute every sum, and exit with 1 on any difference
    Audit {
        /// Of this workspace alone
        #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
        workspace: Option<WorkspaceId>,
    },
}

#[derive(clap::Args, Debug)]
struct Named {
    /// Whose wallet
    #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
    workspace: WorkspaceId,
}

/// Runs the action that was asked for.
///
/// # Errors
/// When a reference was used for something else, the workspace is unknown or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    match args.action {
        Action::Topup { named: Named { workspace }, amount, reference } => {
            let store = globals.make_store(&config).await?;
            let booking = Booking { workspace, amount, reference, note: None };
            let outcome = store.top_up(booking.clone()).await;
            print_booked(&*store, globals, &booking, outcome).await?;
            if !globals.json && answers_request(&*store, &booking).await? {
                output::line(format!("it answers the recharge that was asked for under {}", booking.reference))?;
            }
        }
        Action::Adjust { named: Named { workspace }, amount, reference, note } => {
            let store = globals.make_store(&config).await?;
            let booking = Booking { workspace, amount, reference, note: Some(note) };
            let outcome = store.adjust(booking.clone()).await;
            print_booked(&*store, globals, &booking, outcome).await?;
        }
        Action::Show(Named { workspace }) => show(&*globals.open_store(&config).await?, globals, &workspace).await?,
        Action::Ledger(Named { workspace }) => {
            ledger(&*globals.open_store(&config).await?, globals, &workspace).await?
        }
        Action::Audit { workspace } => {
            return audit(&*globals.open_store(&config).await?, globals, workspace.as_ref()).await;
        }
    }
    Ok(Exit::Done)
}

async fn print_booked(
    store: &dyn Store,
    globals: &Globals,
    booking: &Booking,
    outcome: Result<bool, LedgerError>,
) -> Result<()> {
    let Booking { workspace, amount, reference, .. } = booking;
    if let Err(LedgerError::Conflict { .. }) = outcome {
        return Err(BadInput(format!(
            "--ref {reference} was used before in the wallet of {workspace}, for another amount or kind of booking: \
             choose another; `weir wallet ledger {workspace}` shows it"
        ))
        .into());
    }
    let booked = outcome?;
    let balance = existing_wallet(store, workspace).await?;
    if globals.json {
        let mut object = balance_json(workspace, balance);
        if let Value::Object(fields) = &mut object {
            fields.insert("booked".to_owned(), json!(booked));
        }
        return Ok(output::line(object)?);
    }
    let what = if booked { "is booked" } else { "was booked before, nothing was changed" };
    output::line(format!("{amount} USD under {reference} {what}"))?;
    Ok(output::line(balance_line(workspace, balance))?)
}

/// Was this money asked for?
async fn answers_request(store: &dyn Store, booking: &Booking) -> Result<bool> {
    let requests = store.recharges(&booking.workspace, REQUESTS).await?;
    let mut paid = requests.iter().filter(|request| request.state == RechargeState::Paid);
    Ok(paid.any(|request| request.reference == booking.reference))
}

/// A wallet that was never mentioned is an empty one.
async fn show(store: &dyn Store, globals: &Globals, workspace: &WorkspaceId) -> Result<()> {
    let found = store.balance(workspace).await?;
    let balance = found.unwrap_or(Balance { balance: Usd::ZERO, held: Usd::ZERO });
    let outlook = Outlook::of(store.burn(workspace).await?, balance.balance, wall_ms());
    if globals.json {
        let mut object = balance_json(workspace, balance);
        if let Value::Object(fields) = &mut object {
            fields.insert("burn_per_hour".to_owned(), json!(outlook.per_hour.map(|usd| usd.to_string())));
            fields.insert("runs_dry_at".to_owned(), json!(outlook.dry_ms.map(timestamp)));
        }
        return Ok(output::line(object)?);
    }
    output::line(balance_line(workspace, balance))?;
    Ok(output::line(outlook_line(outlook))?)
}

async fn ledger(store: &dyn Store, globals: &Globals, workspace: &WorkspaceId) -> Result<()> {
    existing_wallet(store, workspace).await?;
    let mut after = 0;
    loop {
        let page = store.entries(workspace, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        if globals.json {
            output::lines(page.iter().map(entry_json))?;
        } else {
            output::table(["seq", "at", "kind", "amount", "balance", "for"], page.iter().map(entry_row))?;
        }
    }
}

async fn audit(store: &dyn Store, globals: &Globals, workspace: Option<&WorkspaceId>) -> Result<Exit> {
    if let Some(workspace) = workspace {
        existing_wallet(store, workspace).await?;
    }
    let audit = store.audit(workspace).await?;
    let ok = audit.problems.is_empty();
    if globals.json {
        output::line(audit_json(&audit))?;
    } else {
        let Audit { accounts, entries, open_holds, problems } = &audit;
        let verdict = if ok { "ok" } else { "DIFFERENCES" };
        output::line(format!("{verdict}: {accounts} wallets, {entries} entries, {open_holds} open holds"))?;
        output::lines(problems)?;
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

/// A wallet to look into or to audit: a mistyped name must not pass for an empty one.
async fn existing_wallet(store: &dyn Store, workspace: &WorkspaceId) -> Result<Balance> {
    store.balance(workspace).await?.ok_or_else(|| {
        let how = "`weir jobs list` names those with jobs, and `weir wallet topup` makes a new one";
        BadInput(format!("there is no workspace `{workspace}` in this store; {how}")).into()
    })
}

fn balance_line(workspace: &WorkspaceId, wallet: Balance) -> String {
    let Balance { balance, held } = wallet;
    format!("{workspace}: balance {balance} USD, held {held}, available {}", wallet.available())
}

fn outlook_line(outlook: Outlook) -> String {
    let per_hour = outlook.per_hour.map_or_else(|| UNKNOWN.to_owned(), |usd| format!("{usd} USD"));
    let dry_at = outlook.dry_ms.map_or_else(|| UNKNOWN.to_owned(), |ms| format!("{} if that goes on", timestamp(ms)));
    format!("spent at {per_hour} an hour: empty at {dry_at}")
}

fn balance_json(workspace: &WorkspaceId, wallet: Balance) -> Value {
    json!({
        "workspace": workspace.as_str(),
        "balance": wallet.balance.to_string(),
        "held": wallet.held.to_string(),
        "available": wallet.available().to_string(),
    })
}

fn entry_row(entry: &Entry) -> [String; 6] {
    let paid = entry.paid.as_ref().map(|(job, lead, step)| format!("{job} {lead} {step}"));
    let mut subject = entry.reference.clone().or(paid).unwrap_or_default();
    if let Some(note) = &entry.note {
        subject += &format!(": {note}");
    }
    let (amount, balance) = (entry.amount.to_string(), entry.balance.to_string());
    [entry.seq.to_string(), timestamp(entry.at_ms), entry.kind.clone(), amount, balance, subject]
}

fn entry_json(entry: &Entry) -> Value {
    let paid = entry.paid.as_ref();
    let mut line = json!({
        "seq": entry.seq,
        "at": timestamp(entry.at_ms),
        "kind": entry.kind,
        "amount": entry.amount.to_string(),
        "balance": entry.balance.to_string(),
        "ref": entry.reference,
        "job_id": paid.map(|(job, ..)| job.as_str()),
        "lead_id": paid.map(|(_, lead, _)| lead.as_str()),
        "provider": paid.map(|(.., step)| step.provider.as_str()),
        "operation": paid.map(|(.., step)| step.operation.as_str()),
    });
    if let (Value::Object(fields), Some(note)) = (&mut line, &entry.note) {
        fields.insert("note".to_owned(), json!(note));
    }
    line
}

fn audit_json(audit: &Audit) -> Value {
    json!({
        "ok": audit.problems.is_empty(),
        "accounts": audit.accounts,
        "entries": audit.entries,
        "open_holds": audit.open_holds,
        "problems": audit.problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JobId;
    use crate::domain::LeadId;
    use crate::domain::Operation;
    use crate::domain::ProviderName;
    use crate::domain::Step;
    use expect_test::expect;

    #[test]
    fn a_settlement_names_what_was_paid() {
        let step = Step::new(ProviderName::new("leadmagic"), Operation::FindEmail);
        let entry = Entry {
            seq: 2,
            at_ms: 1_800_000_000_000,
            kind: "settle".to_owned(),
            amount: Usd::from_nanos(-10_000_000),
            balance: Usd::from_nanos(24_990_000_000),
            reference: None,
            note: None,
            paid: Some((JobId::new("job_1"), LeadId::new("7"), step)),
        };
        expect![[r#"{"seq":2,"at":"2027-01-15T08:00:00.000Z","kind":"settle","amount":"-0.010000000","balance":"24.990000000","ref":null,"job_id":"job_1","lead_id":"7","provider":"leadmagic","operation":"find_email"}"#]]
        .assert_eq(&entry_json(&entry).to_string());
    }

    #[test]
    fn what_nobody_knows_of_a_wallet_is_not_said() {
        let per_hour = Some("4".parse::<Usd>().unwrap());
        let mut lines = String::new();
        for (per_hour, dry_ms) in [(per_hour, Some(1_800_000_900_000)), (per_hour, None), (None, None)] {
            lines += &format!("{}\n", outlook_line(Outlook { per_hour, dry_ms }));
        }
        expect![[r#"
            spent at 4.000000000 USD an hour: empty at 2027-01-15T08:15:00.000Z if that goes on
            spent at 4.000000000 USD an hour: empty at -
            spent at - an hour: empty at -
        "#]]
        .assert_eq(&lines);
    }

    #[test]
    fn an_audit_with_a_difference_is_not_ok() {
        let audit = Audit { accounts: 1, problems: vec!["the balance".to_owned()], ..Audit::default() };
        expect![[r#"{"ok":false,"accounts":1,"entries":0,"open_holds":0,"problems":["the balance"]}"#]]
            .assert_eq(&audit_json(&audit).to_string());
    }
}
