check "slug of a title" "$(slug 'Hello, World!')" "hello-world"
check "slug trims" "$(slug '  A  ')" "a"
check "slug of a slug" "$(slug 'a-b')" "a-b"
