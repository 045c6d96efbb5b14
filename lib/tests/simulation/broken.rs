//! What can be built wrongly. Each is a mistake that systems like this one have made; the checks are worth something
//! only because each of these makes one of them fail.

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A claim is followed by a spawn: the agent begins without a lock and a start record.
    NoHandshake,
    /// What was seen of a run is told of whatever run its task has by now.
    NoEpoch,
    /// A change is acknowledged before it is synced.
    AcknowledgedBeforeDurable,
    /// What another process wrote is acted on before it is synced.
    ActsOnWhatIsNotDurable,
    /// The beginning of a batch of facts may survive without its end.
    TornBatches,
    /// A start record is believed whatever has happened to the machine since.
    ProcessIdsAreTrusted,
    /// An interrupted run is over while its agent lives.
    RemainsAreLeft,
    /// Nobody looks; only what is heard is known.
    NoRescan,
    /// A claim is believed without its gate.
    GatesAreBelieved,
    /// Base moves wherever it was.
    NoCompareAndSwap,
    /// What a run left is forgotten when it ends.
    WorkIsNotCollected,
    /// Whoever replays the journal uses a clock of its own.
    ReplayUsesTheClock,
}

pub(crate) const ALL: [Broken; 12] = [
    Broken::NoHandshake,
    Broken::NoEpoch,
    Broken::AcknowledgedBeforeDurable,
    Broken::ActsOnWhatIsNotDurable,
    Broken::TornBatches,
    Broken::ProcessIdsAreTrusted,
    Broken::RemainsAreLeft,
    Broken::NoRescan,
    Broken::GatesAreBelieved,
    Broken::NoCompareAndSwap,
    Broken::WorkIsNotCollected,
    Broken::ReplayUsesTheClock,
];
