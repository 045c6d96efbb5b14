check "heading" "$(heading Title)" "Title
====="
check "heading of one letter" "$(heading T)" "T
="
