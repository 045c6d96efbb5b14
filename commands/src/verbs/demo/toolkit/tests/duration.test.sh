check "duration of hours and minutes" "$(duration 1h30m)" "5400"
check "duration of seconds" "$(duration 45s)" "45"
check "duration of a bare number" "$(duration 90)" "90"
check "duration of nonsense" "$(duration 3x || printf refused)" "refused"
