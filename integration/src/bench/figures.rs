//! All figures of a run.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    series::Series,
    who::{Metric, Task, Who},
};

/// The figures by what, who and unit.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    series: BTreeMap<(Task, Who, Metric), Series>,
    strangers: Series,
}

impl Figures {
    /// Adds a round's value.
    pub fn add(&mut self, task: Task, who: Who, metric: Metric, value: f64) {
        self.series
            .entry((task, who, metric))
            .or_default()
            .push(value);
    }

    /// The rounds' values, if this was measured.
    pub fn get(&self, task: Task, who: Who, metric: Metric) -> Option<&Series> {
        self.series.get(&(task, who, metric))
    }

    /// Records which share of the machine other processes used during a measurement.
    pub fn note_strangers(&mut self, share: f64) {
        self.strangers.push(share);
    }

    /// The shares of other processes, over all measurements.
    pub fn strangers(&self) -> &Series {
        &self.strangers
    }

    /// What was measured, in order.
    pub fn tasks(&self) -> BTreeSet<Task> {
        self.series.keys().map(|(task, _, _)| *task).collect()
    }

    /// Who was measured at it.
    pub fn measured(&self, task: Task) -> BTreeSet<Who> {
        self.of(task).map(|(who, _)| who).collect()
    }

    /// The units it was measured in.
    pub fn metrics(&self, task: Task) -> BTreeSet<Metric> {
        self.of(task).map(|(_, metric)| metric).collect()
    }

    fn of(&self, task: Task) -> impl Iterator<Item = (Who, Metric)> {
        self.series
            .keys()
            .filter(move |(found, _, _)| *found == task)
            .map(|(_, who, metric)| (*who, *metric))
    }
}
