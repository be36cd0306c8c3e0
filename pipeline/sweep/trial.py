"""One trial of a sweep: one candidate, trained as the stage `train` does."""

from collections.abc import Callable

import optuna
from optuna.trial import Trial, TrialState

from pipeline.config.model import ModelConfig
from pipeline.data.prepared import TrainingData
from pipeline.sweep.study import finished_trials
from pipeline.training.fit import DivergedError, Epoch, measure_accuracy, measure_temperature, train_model

AfterEpoch = Callable[[optuna.Study], None]


def run_trial(
    trial: Trial, config: ModelConfig, data: TrainingData, seed: int, after_epoch: AfterEpoch
) -> tuple[float | None, TrialState]:
    """Train one candidate; return the validation accuracy of what would be published, or None, and how the trial ended.

    `after_epoch` is called after each epoch.
    """
    for twin in finished_trials(trial.study):
        if twin.params == trial.params:  # training is deterministic: it would give the same again
            print(f"trial {trial.number} is trial {twin.number} again: val_accuracy {twin.value}", flush=True)
            for number, accuracy in twin.intermediate_values.items():
                trial.set_user_attr(f"epoch {number}", twin.user_attrs[f"epoch {number}"])
                trial.report(accuracy, number)
            return twin.value, twin.state

    def report_epoch(epoch: Epoch) -> None:
        trial.set_user_attr(f"epoch {epoch['epoch']}", epoch["finished"])
        trial.report(epoch["metrics"]["val_accuracy"], epoch["epoch"])
        after_epoch(trial.study)
        if epoch["epoch"] < config.epochs * config.members and trial.should_prune():
            raise optuna.TrialPruned

    try:
        network, epochs = train_model(f"trial {trial.number}", config, data, seed, report_epoch)
    except DivergedError:
        print(f"trial {trial.number} is given up: it diverged", flush=True)
        return None, TrialState.PRUNED
    except optuna.TrialPruned:
        print(f"trial {trial.number} is given up: so far worse than the median of the others", flush=True)
        return None, TrialState.PRUNED
    if config.publishes_last_epoch:
        return float(epochs[-1]["metrics"]["val_accuracy"]), TrialState.COMPLETE
    temperature = measure_temperature(network, config, data.val)
    return measure_accuracy(network, config, data.val, temperature), TrialState.COMPLETE
