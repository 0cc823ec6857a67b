"""The parts of ``examples/distorted_mnist.py``: the distorted MNIST experiments of Jaderberg et al. 2015.

    distortions   the data sets R, RTS, P, E and TC: digits on a canvas, from a seed
    batches       which digits, distorted how, in which iteration: the same for any number of processes
    networks      FCN, CNN, ST-FCN and ST-CNN, each with about as many parameters
    torch_sampler torch's own sampler in a spatial transformer, to compare with
    steps         one update, and counting errors
    training      one run: optimiser, schedule, checkpoints
    processes     the processes of torchrun
    cells         a cell of the table: its configuration, its files
    table         budgets, all cells, the table beside the paper's, the targets
    pictures      learning curves, and what the transformers look at
"""
