//! The rules of money as tables, and over whole stories of a wallet that are added up again from their
//! holds alone.
//!
//! A table's row reads like a page of the books: amounts in nano-dollars, `-` for no cap. In a settlement
//! `hold` is what it still binds; wallet and job are as they stand with it.

use crate::domain::Cap;
use crate::domain::Outcome;
use crate::domain::Usd;
use crate::ledger::Balance;
use crate::ledger::rules::*;
use proptest::prelude::*;

/// The rows below a table's heading: the amounts, and what is expected of them.
fn rows<const N: usize>(table: &str) -> impl Iterator<Item = ([Option<Usd>; N], &str)> {
    table.trim().lines().skip(1).map(|row| {
        let (amounts, expected) = row.split_once("->").unwrap();
        let cells = amounts.split_whitespace().filter(|cell| *cell != "|");
        let amounts: Vec<_> = cells.map(|cell| (cell != "-").then(|| Usd::from_nanos(cell.parse().unwrap()))).collect();
        (amounts.try_into().unwrap(), expected.trim())
    })
}

#[track_caller]
fn check_holds(table: &str) {
    for ([price, standing @ ..], expected) in rows::<8>(table) {
        let (wallet, job, lead) = stand(standing);
        let decided = tell(decide_hold(price.unwrap(), wallet, job, lead));
        assert_eq!(decided, expected, "{price:?} of {wallet:?}, {job:?}, {lead:?}");
    }
}

#[track_caller]
fn check_settlements(table: &str) {
    for ([owed, hold, standing @ ..], expected) in rows::<9>(table) {
        let (wallet, job, lead) = stand(standing);
        let lead = LeadMoney { held: hold.unwrap(), ..lead };
        let Settlement { charged, released, lost } = settle(owed.unwrap(), hold.unwrap(), wallet, job, lead);
        let settled = format!("charged {}, lost {}", charged.nanos(), lost.nanos());
        assert_eq!(settled, expected, "{owed:?} of {hold:?} in {wallet:?}, {job:?}, {lead:?}");
        assert_eq!(Some(released), hold, "the whole hold is given back, and nothing else");
    }
}

/// Wallet, job and lead as a row says they stand.
fn stand(cells: [Option<Usd>; 7]) -> (Balance, JobMoney, LeadMoney) {
    let [balance, held, job_cap, job_spent, job_held, lead_cap, lead_spent] = cells;
    (
        Balance { balance: balance.unwrap(), held: held.unwrap() },
        JobMoney { cap: job_cap, spent: job_spent.unwrap(), held: job_held.unwrap() },
        LeadMoney { cap: lead_cap, spent: lead_spent.unwrap(), held: Usd::ZERO },
    )
}

fn tell(decision: Decision) -> &'static str {
    match decision {
        Decision::Grant => "grant",
        Decision::Wait(Obstacle::Wallet) => "wait for the wallet",
        Decision::Wait(Obstacle::JobCap) => "wait for the job's cap",
        Decision::Refuse(Outcome::Unaffordable) => "refuse: unaffordable",
        Decision::Refuse(Outcome::Capped(Cap::Lead)) => "refuse: lead cap",
        Decision::Refuse(Outcome::Capped(Cap::Job)) => "refuse: job cap",
        Decision::Refuse(other) => other.as_str(),
    }
}

#[test]
fn a_hold_may_take_the_last_cent_of_wallet_and_caps() {
    check_holds(
        "
        price | balance held | job cap spent held | lead cap spent -> decision
           10 |      10    0 |       -     0    0 |        -     0 -> grant
            6 |      10    4 |       -     0    4 |        -     0 -> grant
            6 |      20    4 |      12     2    4 |        -     0 -> grant
            6 |      10    4 |      12     2    4 |        8     2 -> grant",
    );
}

#[test]
fn what_the_balance_itself_cannot_pay_is_refused_at_once() {
    check_holds(
        "
        price | balance held | job cap spent held | lead cap spent -> decision
            1 |       0    0 |       -     0    0 |        -     0 -> refuse: unaffordable
           11 |      10    0 |       -     0    0 |        -     0 -> refuse: unaffordable
           11 |      10   10 |       -     0   10 |        -     0 -> refuse: unaffordable",
    );
}

#[test]
fn what_only_open_holds_of_others_stand_in_the_way_of_waits() {
    check_holds(
        "
        price | balance held | job cap spent held | lead cap spent -> decision
            7 |      10    4 |       -     0    4 |        -     0 -> wait for the wallet
           10 |      10    1 |       -     0    0 |        -     0 -> wait for the wallet
            7 |      20    4 |      10     0    4 |        -     0 -> wait for the job's cap
            7 |      20    4 |      12     2    4 |        9     2 -> wait for the job's cap
            7 |      10    4 |      10     0    4 |        -     0 -> wait for the wallet",
    );
}

#[test]
fn of_several_refusals_the_wallets_comes_first_then_the_leads_then_the_jobs() {
    check_holds(
        "
        price | balance held | job cap spent held | lead cap spent -> decision
           11 |      10    0 |       5     0    0 |        5     0 -> refuse: unaffordable
            6 |      10    0 |       5     0    0 |        5     0 -> refuse: lead cap
            6 |      10    0 |       5     0    0 |        6     0 -> refuse: job cap
            6 |      10    0 |       -     3    0 |        8     3 -> refuse: lead cap
            6 |      10    0 |       8     3    0 |        -     0 -> refuse: job cap
            1 |      10    0 |       3     5    0 |        -     0 -> refuse: job cap",
    );
}

#[test]
fn nobody_waits_for_what_a_cap_refuses_anyway() {
    check_holds(
        "
        price | balance held | job cap spent held | lead cap spent -> decision
           11 |      10    9 |       5     0    4 |        5     0 -> refuse: unaffordable
            6 |      10    9 |       7     0    4 |        5     0 -> refuse: lead cap
            6 |      10    9 |       5     0    4 |        -     0 -> refuse: job cap",
    );
}

#[test]
fn a_price_of_zero_is_granted_whatever_is_left() {
    check_holds(
        "
        price | balance held | job cap spent held | lead cap spent -> decision
            0 |       0    0 |       0     0    0 |        0     0 -> grant
            0 |       5    5 |       5     3    5 |        2     3 -> grant",
    );
}

#[test]
fn up_to_the_hold_what_is_owed_is_charged() {
    check_settlements(
        "
        owed hold | balance held | job cap spent held | lead cap spent -> settlement
           0    5 |      10    5 |       -     0    5 |        -     0 -> charged 0, lost 0
           2    5 |      10    5 |       -     0    5 |        -     0 -> charged 2, lost 0
           5    5 |      10    5 |       -     0    5 |        -     0 -> charged 5, lost 0
           5    5 |       5    5 |       5     0    5 |        5     0 -> charged 5, lost 0
           0    0 |       0    0 |       0     0    0 |        0     0 -> charged 0, lost 0
          -2    5 |      10    5 |       -     0    5 |        -     0 -> charged 0, lost 0",
    );
}

#[test]
fn a_cap_set_lower_since_does_not_undo_a_hold() {
    check_settlements(
        "
        owed hold | balance held | job cap spent held | lead cap spent -> settlement
           5    5 |      10    5 |       3     0    5 |        3     0 -> charged 5, lost 0
           6    5 |      10    5 |       3     0    5 |        -     0 -> charged 5, lost 1",
    );
}

#[test]
fn beyond_the_hold_the_customer_pays_what_wallet_and_caps_allow() {
    check_settlements(
        "
        owed hold | balance held | job cap spent held | lead cap spent -> settlement
           7    5 |      10    5 |       -     0    5 |        -     0 -> charged 7, lost 0
           7    5 |       6    5 |       -     0    5 |        -     0 -> charged 6, lost 1
           7    5 |      10   10 |       -     0   10 |        -     0 -> charged 5, lost 2
           7    5 |      20    5 |       6     0    5 |        -     0 -> charged 6, lost 1
           7    5 |      20    9 |      10     1    9 |        -     0 -> charged 5, lost 2
           7    5 |      20    5 |       -     2    5 |        8     2 -> charged 6, lost 1
           9    5 |       6    5 |       7     0    5 |        8     0 -> charged 6, lost 3
           9    5 |       8    5 |       6     0    5 |        7     0 -> charged 6, lost 3
           9    5 |       8    5 |       7     0    5 |        6     0 -> charged 6, lost 3",
    );
}

#[test]
fn after_expiry_the_customer_pays_what_wallet_and_caps_allow() {
    check_settlements(
        "
        owed hold | balance held | job cap spent held | lead cap spent -> settlement
           0    0 |      10    0 |       -     0    0 |        -     0 -> charged 0, lost 0
           3    0 |      10    0 |       -     0    0 |        -     0 -> charged 3, lost 0
           3    0 |       2    0 |       -     0    0 |        -     0 -> charged 2, lost 1
           3    0 |      10    9 |       -     0    9 |        -     0 -> charged 1, lost 2
           3    0 |       0    0 |       -     0    0 |        -     0 -> charged 0, lost 3
           3    0 |      10    0 |       5     4    0 |        -     0 -> charged 1, lost 2
           3    0 |      10    3 |       5     1    3 |        -     0 -> charged 1, lost 2
           3    0 |      10    0 |       -     4    0 |        5     4 -> charged 1, lost 2",
    );
}

#[test]
fn what_is_owed_is_counted_by_the_hold_and_by_nothing_of_today() {
    let nanos = Usd::from_nanos;
    // Of a hold of so much: what the customer owes, and what the house may lose.
    for (owed, hold, by_customer, by_house) in [
        (Owed::NOTHING, 5, 0, 0),
        (Owed::Amount(nanos(3)), 5, 3, 0),
        (Owed::Amount(nanos(5)), 5, 5, 0),
        (Owed::Amount(nanos(7)), 5, 7, 0),
        (Owed::Held, 5, 5, 0),
        (Owed::Held, 0, 0, 0),
        (Owed::ByHouse, 5, 0, 5),
        (Owed::ByHouse, 0, 0, 0),
    ] {
        let place = format!("{owed:?} of {hold}");
        let held = nanos(hold);
        let parts = (owed.by_customer(held).nanos(), owed.by_house(held).nanos());
        assert_eq!(parts, (by_customer, by_house), "{place}");
        assert_eq!(owed.is_anything(), owed != Owed::NOTHING, "{place}");
        let settled = settle_held(owed, held).map(|it| (it.charged.nanos(), it.released.nanos(), it.lost.nanos()));
        assert_eq!(settled, (by_customer <= hold).then_some((by_customer, hold, by_house)), "{place}");
    }
}

/// Two jobs of two leads each, on one wallet: what happens to it, move by move.
#[derive(Debug)]
struct Story {
    job_cap: Option<i64>,
    lead_cap: Option<i64>,
    moves: Vec<Move>,
}

#[derive(Clone, Debug)]
enum Move {
    TopUp(i64),
    /// A lead without an open hold asks for one.
    Hold(usize, i64),
    /// A hold that is open, or has expired, learns what is owed; nothing voids it.
    Settle(prop::sample::Index, i64),
    /// An open hold is given back.
    Expire(prop::sample::Index),
}

/// What a store keeps by following the rules; and, to add it all up again, every top-up and hold.
struct Books {
    wallet: Balance,
    jobs: [JobMoney; 2],
    leads: [LeadMoney; 4],
    topped_up: i64,
    holds: Vec<Hold>,
}

struct Hold {
    lead: usize,
    amount: i64,
    state: HoldState,
    owed: i64,
    charged: i64,
    lost: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HoldState {
    Open,
    Expired,
    Settled,
}

/// A hold that was asked for, and what was decided.
struct Asked {
    lead: usize,
    price: i64,
    decision: Decision,
}

const fn job_of(lead: usize) -> usize {
    lead / 2
}

fn plus(a: Usd, nanos: i64) -> Usd {
    a.checked_add(Usd::from_nanos(nanos)).unwrap()
}

impl Story {
    /// Plays the story; `watch` looks at the books after every move.
    fn play(&self, mut watch: impl FnMut(&Books, Option<Asked>)) {
        let job = JobMoney { cap: self.job_cap.map(Usd::from_nanos), spent: Usd::ZERO, held: Usd::ZERO };
        let lead = LeadMoney { cap: self.lead_cap.map(Usd::from_nanos), spent: Usd::ZERO, held: Usd::ZERO };
        let wallet = Balance { balance: Usd::ZERO, held: Usd::ZERO };
        let mut books = Books { wallet, jobs: [job; 2], leads: [lead; 4], topped_up: 0, holds: Vec::new() };
        for next in &self.moves {
            let asked = books.make(next);
            watch(&books, asked);
        }
    }
}

impl Books {
    fn make(&mut self, next: &Move) -> Option<Asked> {
        match *next {
            Move::TopUp(amount) => {
                self.wallet.balance = plus(self.wallet.balance, amount);
                self.topped_up += amount;
            }
            Move::Hold(lead, price) if !self.is_busy(lead) => return Some(self.ask(lead, price)),
            Move::Hold(..) => {}
            Move::Settle(which, owed) => {
                if let Some(index) = self.pick(which, |hold| hold.state != HoldState::Settled) {
                    self.settle(index, owed);
                }
            }
            Move::Expire(which) => {
                if let Some(index) = self.pick(which, |hold| hold.state == HoldState::Open) {
                    let Hold { lead, amount, .. } = self.holds[index];
                    self.bind(lead, -amount);
                    self.holds[index].state = HoldState::Expired;
                }
            }
        }
        None
    }

    fn is_busy(&self, lead: usize) -> bool {
        self.holds.iter().any(|hold| hold.lead == lead && hold.state == HoldState::Open)
    }

    fn pick(&self, which: prop::sample::Index, eligible: impl Fn(&Hold) -> bool) -> Option<usize> {
        let indexes: Vec<_> = (0..self.holds.len()).filter(|index| eligible(&self.holds[*index])).collect();
        (!indexes.is_empty()).then(|| *which.get(&indexes))
    }

    fn ask(&mut self, lead: usize, price: i64) -> Asked {
        let decision = decide_hold(Usd::from_nanos(price), self.wallet, self.jobs[job_of(lead)], self.leads[lead]);
        if decision == Decision::Grant {
            self.bind(lead, price);
            self.holds.push(Hold { lead, amount: price, state: HoldState::Open, owed: 0, charged: 0, lost: 0 });
        }
        Asked { lead, price, decision }
    }

    fn bind(&mut self, lead: usize, amount: i64) {
        let job = &mut self.jobs[job_of(lead)];
        job.held = plus(job.held, amount);
        self.leads[lead].held = plus(self.leads[lead].held, amount);
        self.wallet.held = plus(self.wallet.held, amount);
    }

    fn settle(&mut self, index: usize, owed: i64) {
        let lead = self.holds[index].lead;
        let bound = Usd::from_nanos(bound(&self.holds[index]));
        let settlement = settle(Usd::from_nanos(owed), bound, self.wallet, self.jobs[job_of(lead)], self.leads[lead]);
        let charged = settlement.charged.nanos();
        self.bind(lead, -settlement.released.nanos());
        self.wallet.balance = plus(self.wallet.balance, -charged);
        self.jobs[job_of(lead)].spent = plus(self.jobs[job_of(lead)].spent, charged);
        self.leads[lead].spent = plus(self.leads[lead].spent, charged);
        let lost = settlement.lost.nanos();
        self.holds[index] = Hold { state: HoldState::Settled, owed, charged, lost, ..self.holds[index] };
    }

    /// Adds up one column of the holds that match.
    fn sum(&self, column: fn(&Hold) -> i64, matching: impl Fn(&Hold) -> bool) -> i64 {
        self.holds.iter().filter(|hold| matching(hold)).map(column).sum()
    }
}

const fn bound(hold: &Hold) -> i64 {
    match hold.state {
        HoldState::Open => hold.amount,
        HoldState::Expired | HoldState::Settled => 0,
    }
}

const fn charged(hold: &Hold) -> i64 {
    hold.charged
}

fn one_move() -> impl Strategy<Value = Move> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        1 => (0..20_i64).prop_map(Move::TopUp),
        4 => (0..4_usize, 0..8_i64).prop_map(|(lead, price)| Move::Hold(lead, price)),
        3 => (index(), 0..12_i64).prop_map(|(which, owed)| Move::Settle(which, owed)),
        1 => index().prop_map(|which| Move::Settle(which, 0)),
        1 => index().prop_map(Move::Expire),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    (prop::option::of(0..30_i64), prop::option::of(0..15_i64), prop::collection::vec(one_move(), 1..80))
        .prop_map(|(job_cap, lead_cap, moves)| Story { job_cap, lead_cap, moves })
}

proptest! {
    #[test]
    fn the_balance_is_what_came_in_less_what_was_charged(story in story()) {
        story.play(|books, _| {
            assert_eq!(books.wallet.balance.nanos(), books.topped_up - books.sum(charged, |_| true));
            for (n, job) in books.jobs.iter().enumerate() {
                assert_eq!(job.spent.nanos(), books.sum(charged, |hold| job_of(hold.lead) == n));
            }
        });
    }

    #[test]
    fn what_is_held_is_the_sum_of_open_holds_so_each_is_given_back_once(story in story()) {
        story.play(|books, _| {
            assert_eq!(books.wallet.held.nanos(), books.sum(bound, |_| true));
            for (n, job) in books.jobs.iter().enumerate() {
                assert_eq!(job.held.nanos(), books.sum(bound, |hold| job_of(hold.lead) == n));
            }
        });
    }

    #[test]
    fn everything_owed_is_charged_or_booked_as_lost(story in story()) {
        story.play(|books, _| {
            let owed = books.sum(|hold| hold.owed, |_| true);
            assert_eq!(owed, books.sum(|hold| hold.charged + hold.lost, |_| true));
        });
    }

    #[test]
    fn nothing_goes_below_zero_or_above_a_cap(story in story()) {
        story.play(|books, _| {
            assert!(books.topped_up >= books.sum(|hold| hold.charged + bound(hold), |_| true));
            for n in 0..books.jobs.len() {
                let used = books.sum(|hold| hold.charged + bound(hold), |hold| job_of(hold.lead) == n);
                assert!(story.job_cap.is_none_or(|cap| used <= cap), "job {n} uses {used}");
            }
            for n in 0..books.leads.len() {
                let used = books.sum(|hold| hold.charged + bound(hold), |hold| hold.lead == n);
                assert!(story.lead_cap.is_none_or(|cap| used <= cap), "lead {n} uses {used}");
            }
        });
    }

    /// Were every open hold given back, a refused one still could not be paid, and a waiting one could.
    #[test]
    fn a_hold_is_refused_only_if_it_cannot_be_paid_and_waits_only_if_it_could_be(story in story()) {
        story.play(|books, asked| {
            let Some(Asked { lead, price, decision }) = asked else { return };
            let spent_by_job = books.sum(charged, |hold| job_of(hold.lead) == job_of(lead));
            let spent_by_lead = books.sum(charged, |hold| hold.lead == lead);
            let payable = price <= books.topped_up - books.sum(charged, |_| true)
                && story.job_cap.is_none_or(|cap| price <= cap - spent_by_job)
                && story.lead_cap.is_none_or(|cap| price <= cap - spent_by_lead);
            match decision {
                Decision::Grant => assert!(payable || price == 0),
                Decision::Wait(_) => assert!(payable && books.sum(bound, |_| true) > 0),
                Decision::Refuse(_) => assert!(!payable),
            }
        });
    }
}
