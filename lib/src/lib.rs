//! What is true about tasks, workflows, agents and runs, and what follows from it. Pure: no file, process, thread, clock,
//! randomness or environment, so every rule is tested in microseconds and replays the same way everywhere.

pub mod ids;
