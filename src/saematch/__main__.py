from saematch.cli import main

main()
