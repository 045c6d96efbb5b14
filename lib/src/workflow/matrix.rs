//! A stage that is done once for each combination of some values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Stage;

impl Stage {
    /// Every combination of the values of its matrix, the last name varying fastest; one empty one where there is none.
    #[must_use]
    pub fn combinations(&self) -> Vec<BTreeMap<&String, &Value>> {
        let mut all = vec![BTreeMap::new()];
        for (name, values) in &self.matrix {
            all = all
                .into_iter()
                .flat_map(|chosen| {
                    values.iter().map(move |value| {
                        let mut chosen = chosen.clone();
                        chosen.insert(name, value);
                        chosen
                    })
                })
                .collect();
        }
        all
    }
}
