check "upper" "$(upper 'aB1')" "AB1"
check "lower" "$(lower 'aB1')" "ab1"
check "upper as a command" "$(sh ./toolkit upper x)" "X"
check "lower as a command" "$(sh ./toolkit lower X)" "x"
