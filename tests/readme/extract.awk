# Prints the code block of a Markdown file that follows the line <!-- code: NAME -->.
$0 == "<!-- code: " name " -->" { wanted = 1; next }
wanted && /^```/ { if (inside) exit; inside = 1; next }
inside { print; found = 1 }
END { if (!found) exit 1 }
