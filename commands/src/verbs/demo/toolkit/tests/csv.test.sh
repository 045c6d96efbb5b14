check "csv of plain fields" "$(csv_row a b)" "a,b"
check "csv quotes a comma" "$(csv_row 'a,b' c)" '"a,b",c'
check "csv doubles a quote" "$(csv_row 'a"b')" '"a""b"'
