//! The model on its own thread.

use crate::support::{batches, filled, never, options, small, source, training};
use engine::{EngineError, Handle, Model, SparseStep};
use futures::executor::block_on;
use protocol::model::ModelSpec;
use std::sync::Arc;

async fn start() -> Handle {
    let handle = Handle::start(small(), options()).await.unwrap();
    handle.set_parameters(filled(options()).parameters().unwrap()).await.unwrap();
    handle
}

#[test]
fn the_thread_answers_as_the_model_itself() {
    block_on(async {
        let handle = start().await;
        let mut model = filled(options());
        assert_eq!(handle.layout(), model.layout());
        let batch = batches(1, 4).remove(0);
        assert_eq!(handle.losses(batch.clone()).await.unwrap(), model.losses(&batch).unwrap());

        let step = SparseStep::new(&[1, 2, 600], vec![0.5; 3]).unwrap();
        let tried = handle.trial(Arc::new(step.clone()), vec![batch.clone(); 2]).await.unwrap();
        let expected = model.trial(&step, |model| model.losses(&batch)).unwrap();
        assert_eq!(tried, [expected.clone(), expected]);

        let trained = handle.train(training(), 4, source(&batches(4, 2)), None).await.unwrap();
        assert_eq!(trained, model.train(&training(), 4, source(&batches(4, 2)), &never()).unwrap());
    });
}

#[test]
fn a_training_can_be_interrupted() {
    block_on(async {
        let handle = start().await;
        let stop = handle.clone();
        let data = source(&batches(4, 2)).inspect(move |_| stop.interrupt());
        let error = handle.train(training(), 0, data, None).await.unwrap_err();
        assert!(matches!(error, EngineError::Interrupted { step: 1 }), "{error}");
        handle.train(training(), 0, source(&batches(4, 2)), None).await.unwrap();
    });
}

#[test]
fn many_may_ask_at_once() {
    block_on(async {
        let handle = start().await;
        let batch = &batches(1, 4)[0];
        let answers = futures::future::join_all((0..20).map(|_| handle.losses(batch.clone()))).await;
        let first = answers[0].as_ref().unwrap();
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    });
}

#[test]
fn errors_cross_and_the_thread_goes_on() {
    block_on(async {
        let handle = start().await;
        let outside = Arc::new(SparseStep::new(&[1 << 40], vec![0.1]).unwrap());
        let error = handle.trial(outside, vec![]).await.unwrap_err();
        assert!(matches!(error, EngineError::Trial(_)), "{error}");
        handle.losses(batches(1, 4).remove(0)).await.unwrap();
        let refused = Handle::start(ModelSpec { heads: 3, ..small() }, options()).await.unwrap_err();
        assert!(matches!(refused, EngineError::Model(_)), "{refused}");
    });
}

#[test]
fn a_thread_that_has_ended_is_an_error() {
    block_on(async {
        let handle = start().await;
        let died =
            handle.run(|_: &mut Model| -> Result<(), _> { panic!("a test ends the model's thread") }).await;
        assert!(matches!(died, Err(EngineError::Stopped)));
        let error = handle.losses(batches(1, 4).remove(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "the model's thread has ended: restart the node");
    });
}
