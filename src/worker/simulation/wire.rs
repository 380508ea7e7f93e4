//! The way from one worker to the providers.

use crate::http::Failure;
use crate::http::Received;
use crate::http::Sending;
use crate::http::Target;
use crate::http::Transport;
use crate::providers::Request;
use crate::worker::simulation::body::Body;
use crate::worker::simulation::body::Point;
use crate::worker::simulation::body::nowhere;
use crate::worker::simulation::findings::Rule;
use crate::worker::simulation::question::Question;
use crate::worker::simulation::record::Call;
use crate::worker::simulation::record::CallFate;
use secrecy::ExposeSecret;
use std::sync::Arc;
use tokio::time::sleep;

/// Carries the calls of one worker.
pub(super) struct Wire {
    body: Arc<Body>,
}

impl Wire {
    pub(super) const fn new(body: Arc<Body>) -> Self {
        Self { body }
    }

    async fn carry(&self, target: &Target, request: &Request) -> Result<Received, Failure> {
        let stage = &self.body.stage;
        self.body.thaw().await;
        if !self.body.lives_past(Point::BeforeSend) {
            return nowhere().await;
        }
        let Some(question) = Question::of(target, request) else {
            stage.findings.report(Rule::Asked, format!("{request:?} is a question that nobody understands"));
            return Err(Failure::BadTarget);
        };
        let key = target.key.expose_secret();
        let key_source = stage.examine(&self.body, &question, key);
        let reply = stage.ask(&question, key);
        let call =
            Call { worker: self.body.name.clone(), question, key_source, told: reply.told, fate: CallFate::Underway };
        let number = stage.record().begin(call);
        if !self.body.lives_past(Point::Sent) {
            return nowhere().await;
        }
        sleep(reply.latency).await;
        self.body.thaw().await;
        let fate = if reply.is_retryable { CallFate::Retryable } else { CallFate::Over };
        stage.record().end(number, fate);
        if !self.body.lives_past(Point::Answered) {
            return nowhere().await;
        }
        reply.result
    }
}

impl Transport for Wire {
    fn send<'a>(&'a self, target: &'a Target, request: &'a Request) -> Sending<'a> {
        Box::pin(self.carry(target, request))
    }
}
