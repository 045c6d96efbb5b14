check "join three words" "$(join_with ', ' a b c)" "a, b, c"
check "join one word" "$(join_with , a)" "a"
check "join nothing" "$(join_with ,)" ""
