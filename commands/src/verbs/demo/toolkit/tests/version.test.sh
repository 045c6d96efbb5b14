check "version" "$(version)" "1.0.0"
check "version as a command" "$(sh ./toolkit version)" "1.0.0"
