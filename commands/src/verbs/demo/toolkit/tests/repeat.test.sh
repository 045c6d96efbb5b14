check "repeat three times" "$(repeat ab 3)" "ababab"
check "repeat once" "$(repeat ab 1)" "ab"
check "repeat never" "$(repeat ab 0)" ""
