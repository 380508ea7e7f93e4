//! Whoever hears of results, and the voice that tells them.

use crate::domain::Ending;
use crate::domain::Run;
use crate::domain::Usd;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::worker::Announce;
use crate::worker::AnnounceLater;
use crate::worker::Announced;
use crate::worker::Telling;
use crate::worker::simulation::body::Body;
use crate::worker::simulation::body::Point;
use crate::worker::simulation::body::nowhere;
use crate::worker::simulation::findings::Findings;
use crate::worker::simulation::findings::Rule;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::time::sleep;

/// Remembers every result by what its event would be called: lead and run.
#[derive(Default)]
pub(super) struct Audience(Mutex<BTreeMap<(JobKey, LeadNo, Run), Heard>>);

/// What was told of a lead in a run.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    ending: Ending,
    cost: Usd,
}

impl Audience {
    fn hear(&self, result: &Announced, findings: &Findings) {
        let ends = result.attempts.iter().filter_map(|attempt| attempt.end());
        let cost = ends.map(|end| end.cost).fold(Usd::ZERO, Usd::saturating_add);
        let heard = Heard { ending: result.ending.clone(), cost };
        let event = (result.job.key, result.n, result.run);
        let mut known = self.0.lock().unwrap();
        let first = known.entry(event).or_insert_with(|| heard.clone());
        if *first != heard {
            let what =
                format!("lead {} of job {} is told of with {first:?}, then with {heard:?}", event.1.0, event.0.0);
            findings.report(Rule::G9Ending, what);
        }
    }

    /// How the lead has ended in this run, as far as anybody was told.
    pub(super) fn heard_of(&self, job: JobKey, lead: LeadNo, run: Run) -> Option<Ending> {
        self.0.lock().unwrap().get(&(job, lead, run)).map(|heard| heard.ending.clone())
    }
}

/// A worker's way to tell.
pub(super) struct Voice {
    body: Arc<Body>,
}

impl Voice {
    pub(super) const fn new(body: Arc<Body>) -> Self {
        Self { body }
    }

    /// Tells, or does not; what is told may not be confirmed.
    async fn tell(&self, result: Announced) -> Result<Telling, LedgerError> {
        let stage = &self.body.stage;
        self.body.thaw().await;
        let (pause, chance) = {
            let mut dice = stage.dice();
            (dice.ms(1, 40), dice.below(100))
        };
        sleep(pause).await;
        self.body.thaw().await;
        if chance < 2 {
            return Ok(Telling::Stopped);
        }
        if chance < 4 {
            return Err(LedgerError::Unavailable("it fails by design".to_owned()));
        }
        stage.audience.hear(&result, &stage.findings);
        if !self.body.lives_past(Point::Told) {
            return nowhere().await;
        }
        Ok(if chance < 7 { Telling::Stopped } else { Telling::Told })
    }
}

impl Announce for Voice {
    fn announce(&self, result: Announced) -> AnnounceLater<'_> {
        Box::pin(self.tell(result))
    }
}
