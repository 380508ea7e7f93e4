//! A job worked to its end by this process, or until it is told to stop.

use crate::cli::Exit;
use crate::cli::list_run::progress;
use crate::jobs::StoredJob;
use crate::queue::MemoryQueue;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::worker;
use crate::worker::Engine;
use anyhow::Result;
use std::sync::Arc;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Works the job until it is done, or Ctrl-C.
pub(super) async fn work(engine: &Arc<Engine>, job: &StoredJob) -> Result<Exit> {
    let before = engine.store.progress(job.key).await?;
    let working = work_every_slice(engine, job);
    let showing = progress::show(Arc::clone(engine), before.done, before.leads);
    tokio::pin!(working);
    let worked = tokio::select! {
        worked = &mut working => worked,
        () = showing => Ok(()),
        () = interrupted() => {
            tracing::info!("stopping: calls in flight are settled, no new one is made");
            engine.tasks.stop();
            working.await
        }
    };
    let stopped = engine.tasks.is_stopping();
    worked?;
    if stopped {
        return Ok(Exit::Interrupted);
    }
    Ok(Exit::Done)
}

/// Works until no slice has a lead to decide: `jobs resume` may open leads again meanwhile.
async fn work_every_slice(engine: &Arc<Engine>, job: &StoredJob) -> Result<()> {
    let mut before = Vec::new();
    loop {
        let open = engine.store.open_slices(job.key).await?;
        // A round that decides nothing would decide nothing again.
        if open.is_empty() || open == before || engine.tasks.is_stopping() {
            return Ok(());
        }
        let queue = MemoryQueue::default();
        for slice in &open {
            queue.publish(SliceMessage { job: job.key, slice: *slice });
        }
        before = open;
        worker::work(Arc::clone(engine), Arc::new(queue)).await?;
    }
}

/// Until Ctrl-C, or a polite request to end. A system that cannot tell of them stops us by itself.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
