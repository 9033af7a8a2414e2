//! How far an import is: a bar for each layer on a terminal, lines elsewhere, nothing when quiet.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use plywood::{Digest, Event, Progress, Skipped};

use crate::interrupt;
use crate::output::Messages;
use crate::show;

/// Shows events on stderr and counts what was left out.
#[derive(Debug)]
pub(crate) struct Shown {
    way: Way,
    /// What is done to layers: `unpacking`.
    doing: &'static str,
    skipped: Mutex<Skipped>,
}

#[derive(Debug)]
enum Way {
    Nothing,
    Lines(Messages),
    Bars { all: MultiProgress, layers: Mutex<BTreeMap<usize, ProgressBar>>, has_drawn: AtomicBool },
}

impl Shown {
    /// Decides by what stderr is.
    pub(crate) fn unpacking(messages: Messages) -> Self {
        Self::new(messages, "unpacking")
    }

    /// As [`unpacking`](Self::unpacking), for layers that go out.
    pub(crate) fn packing(messages: Messages) -> Self {
        Self::new(messages, "packing")
    }

    fn new(messages: Messages, doing: &'static str) -> Self {
        let way = if messages.is_quiet() {
            Way::Nothing
        } else if io::stderr().is_terminal() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Way::Bars { all, layers: Mutex::default(), has_drawn: AtomicBool::new(false) }
        } else {
            Way::Lines(messages)
        };
        Self { way, doing, skipped: Mutex::default() }
    }

    /// Ends the display, and answers what all layers left out.
    pub(crate) fn end(self) -> Skipped {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    /// Leaves the line of the last bar, so that what is said next begins on its own.
    fn drop(&mut self) {
        if let Way::Bars { has_drawn, .. } = &self.way
            && has_drawn.load(Ordering::Relaxed)
        {
            drop(writeln!(io::stderr().lock()));
        }
    }
}

impl Progress for Shown {
    fn is_cancelled(&self) -> bool {
        interrupt::caught().is_some()
    }

    fn report(&self, event: Event<'_>) {
        if let Event::LayerSkipped { skipped, .. } = event {
            let mut sum = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
            sum.devices += skipped.devices;
            sum.xattrs += skipped.xattrs;
            sum.owners += skipped.owners;
        }
        match &self.way {
            Way::Nothing => {}
            Way::Lines(messages) => line(*messages, self.doing, &event),
            Way::Bars { all, layers, has_drawn } => {
                has_drawn.store(true, Ordering::Relaxed);
                bar(all, layers, &event);
            }
        }
    }
}

fn line(messages: Messages, doing: &str, event: &Event<'_>) {
    match event {
        Event::LayerReused { index, diff_id } => {
            messages.note(format_args!("{}: there already", label(*index, *diff_id)));
        }
        Event::LayerWaiting { index, diff_id } => {
            messages.note(format_args!("{}: waiting for another process", label(*index, *diff_id)));
        }
        Event::LayerStarted { index, diff_id, total_bytes } => {
            let size = total_bytes.map(|bytes| format!(" ({})", show::size(bytes))).unwrap_or_default();
            messages.note(format_args!("{}: {doing}{size}", label(*index, *diff_id)));
        }
        Event::LayerDone { index, diff_id } => {
            messages.note(format_args!("{}: done", label(*index, *diff_id)));
        }
        Event::Committing { .. } => messages.note("committing"),
        Event::LayerAdvanced { .. } | Event::LayerSkipped { .. } => {}
    }
}

fn bar(all: &MultiProgress, layers: &Mutex<BTreeMap<usize, ProgressBar>>, event: &Event<'_>) {
    let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
    let mut of = |index: usize, diff_id: Option<&Digest>| {
        let make = || all.add(ProgressBar::no_length().with_prefix(label(index, diff_id)));
        layers.entry(index).or_insert_with(make).clone()
    };
    match event {
        Event::LayerReused { index, diff_id } => finish(&of(*index, *diff_id), "there already"),
        Event::LayerWaiting { index, diff_id } => {
            let bar = of(*index, *diff_id);
            bar.set_style(style("{prefix}  {msg}"));
            bar.set_message("waiting for another process");
        }
        Event::LayerStarted { index, diff_id, total_bytes } => {
            let bar = of(*index, *diff_id);
            match total_bytes {
                Some(bytes) => {
                    bar.set_style(style("{prefix}  [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}"));
                    bar.set_length(*bytes);
                }
                None => bar.set_style(style("{prefix}  {spinner} {bytes}  {bytes_per_sec}")),
            }
            bar.reset();
        }
        Event::LayerAdvanced { index, diff_id, bytes } => of(*index, *diff_id).inc(*bytes),
        Event::LayerDone { index, diff_id } => finish(&of(*index, *diff_id), "done"),
        // The next image of an archive begins with new bars.
        Event::Committing { .. } => layers.clear(),
        Event::LayerSkipped { .. } => {}
    }
}

fn finish(bar: &ProgressBar, message: &'static str) {
    bar.set_style(style("{prefix}  {msg}"));
    bar.finish_with_message(message);
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn label(index: usize, diff_id: Option<&Digest>) -> String {
    match diff_id {
        Some(diff_id) => format!("layer {} {}", index + 1, show::short(diff_id)),
        None => format!("layer {}", index + 1),
    }
}
