check "trim both ends" "$(trim '  a b  ')" "a b"
check "trim nothing" "$(trim 'ab')" "ab"
check "trim white space only" "$(trim '   ')" ""
check "trim as a command" "$(sh ./toolkit trim ' x ')" "x"
