check "report" "$(report Week 'Code Review=1h' 'Stand-up=15m')" "Week
====
name,seconds
code-review,3600
stand-up,900"
check "report without entries" "$(report W)" "W
=
name,seconds"
